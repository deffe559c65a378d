"""The desk is Django's admin with our own site."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class DeskAdminConfig(AdminConfig):
    """Makes the desk the default admin site, so that desks register with `admin.site`."""

    default_site = "backoffice.desk.site.DeskSite"


class DeskConfig(AppConfig):
    """Navigation, dashboards and the look of the desk."""

    name = "backoffice.desk"
    label = "desk"
    verbose_name = "Desk"
