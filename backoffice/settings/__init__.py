"""Settings of the site, read from the environment.

Everything that differs between machines comes from an environment variable named here; `.env.example` lists the
same names. Nothing connects to a server at import time, so `manage.py devstack` can start the servers first.
"""

from __future__ import annotations

import gc
import logging
import os
from pathlib import Path

from kombu import Queue

from backoffice.settings.desk import UNFOLD  # noqa: F401
from backoffice.settings.environment import (
    database_from_url,
    env_bool,
    env_group,
    env_int,
    env_list,
    private_storage,
    redis_urls,
)

# The models, tables and templates of the site are half a million objects that live as long as their process. Python's own
# thresholds walk all of them again and again: a quarter of the time of a start, and of serving pages.
gc.set_threshold(50_000, 20, 100)

BASE_DIR = Path(__file__).resolve().parent.parent.parent

DEBUG = env_bool("BACKOFFICE_DEBUG", default=False)
# The development key is refused by `check --deploy`; a deployment sets its own.
DEVELOPMENT_SECRET_KEY = "development-only-key-never-use-it-in-production-0123456789"  # noqa: S105
SECRET_KEY = os.environ.get("BACKOFFICE_SECRET_KEY", DEVELOPMENT_SECRET_KEY)
# What the desk calls this installation beside its pages, such as Demo or Staging; empty in production.
ENVIRONMENT_LABEL = os.environ.get("BACKOFFICE_ENVIRONMENT", "")
ALLOWED_HOSTS = env_list("BACKOFFICE_ALLOWED_HOSTS", default=["localhost", ".localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env_list("BACKOFFICE_TRUSTED_ORIGINS", default=[])
BEHIND_TLS = env_bool("BACKOFFICE_BEHIND_TLS", default=False)
# Secrets at rest (one-time code secrets, later bank and identity data): `id:base64 of 32 bytes`, the current key first.
DEVELOPMENT_ENCRYPTION_KEYS = "dev:ZGV2ZWxvcG1lbnQtb25seS1uZXZlci1wcm9kdWN0aW8="
ENCRYPTION_KEYS = os.environ.get("BACKOFFICE_ENCRYPTION_KEYS", DEVELOPMENT_ENCRYPTION_KEYS)
# Signs issued reports: base64 of the 32-byte seed. Without it a key is made once and kept in the private files.
REPORT_SIGNING_KEY = os.environ.get("BACKOFFICE_SIGNING_KEY", "")

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "backoffice.desk.apps.DeskAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "django.contrib.humanize",
    "pgtrigger",
    "pghistory",
    "guardian",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "anymail",
    "django_structlog",
    "django_prometheus",
    "backoffice.core",
    "backoffice.ui",
    "crm",
    "platform_ops",
    "funding.ledger",
    "funding",
    "ib",
    "risk",
    "marketing",
    "backoffice.reports",
    "backoffice.migration",
    "backoffice.conformance",
    "backoffice.desk.apps.DeskConfig",
    "backoffice.portal",
    "backoffice.api",
    "backoffice.devstack",
]

MIDDLEWARE = [
    "django_prometheus.middleware.PrometheusBeforeMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "backoffice.core.middleware.SecurityHeadersMiddleware",
    "backoffice.ui.api_middleware.ApiMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "backoffice.core.identity.middleware.IdentityMiddleware",
    "backoffice.core.identity.middleware.ClientViewMiddleware",
    "backoffice.core.organisation.brands.BrandHostMiddleware",
    "backoffice.core.middleware.TraceMiddleware",
    "backoffice.core.middleware.DomainErrorMiddleware",
    "django_prometheus.middleware.PrometheusAfterMiddleware",
]

ROOT_URLCONF = "backoffice.urls"
WSGI_APPLICATION = "backoffice.wsgi.application"
ASGI_APPLICATION = "backoffice.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "backoffice.core.organisation.brands.portal_brand",
            ],
        },
    },
]

DATABASES = {"default": database_from_url(os.environ.get("DATABASE_URL", ""))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHE_URL, CELERY_BROKER_URL = redis_urls(os.environ.get("REDIS_URL", ""))
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": CACHE_URL,
        "KEY_PREFIX": "backoffice",
    }
}
SESSION_ENGINE = "django.contrib.sessions.backends.db"

AUTH_USER_MODEL = "core.User"
AUTHENTICATION_BACKENDS = [
    # Extends Django's own backend; beside that one, every wrong password would be hashed twice.
    "allauth.account.auth_backends.AuthenticationBackend",
    "guardian.backends.ObjectPermissionBackend",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
# Guardian's anonymous user would be one more row that can hold permissions; nobody is let in without a login.
ANONYMOUS_USER_NAME = None
GUARDIAN_MONKEY_PATCH_USER = False

LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_ADAPTER = "backoffice.core.identity.accounts.AccountAdapter"
ACCOUNT_FORMS = {
    "login": "backoffice.core.forms.SignInForm",
    "change_password": "backoffice.core.forms.PasswordChangeForm",
    "reset_password": "backoffice.core.forms.ForgottenPasswordForm",
    "reset_password_from_key": "backoffice.core.forms.NewPasswordForm",
}
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_PREVENT_ENUMERATION = True
# A password reset for an unknown address is answered alike, but sends no mail: this site is nobody's mail relay.
ACCOUNT_EMAIL_UNKNOWN_ACCOUNTS = False
# Tells people when their password or second factor was changed.
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
ACCOUNT_RATE_LIMITS = {
    "login": "30/m/ip",
    "login_failed": "10/m/ip,5/5m/key",
    "reset_password": "5/m/ip,3/m/key",
    "reauthenticate": "10/m/user",
    "change_password": "5/m/user",
}
# How many proxies stand in front and may be believed about the caller's address, by which rate limits count.
ALLAUTH_TRUSTED_PROXY_COUNT = env_int("BACKOFFICE_TRUSTED_PROXIES", default=0)
# The country of a sign-in: from a header that the proxy in front sets (never from the caller's own), or from a local
# database file in the MaxMind DB format. Without either it stays unknown.
COUNTRY_HEADER = os.environ.get("BACKOFFICE_COUNTRY_HEADER", "")
COUNTRY_FILE = os.environ.get("BACKOFFICE_COUNTRY_FILE", "")
# Sign-ins hold addresses and devices of people: they are forgotten after so many days.
LOGIN_EVENT_DAYS = env_int("BACKOFFICE_LOGIN_EVENT_DAYS", default=400)
# Where browsers reach the live streams: `same-origin` when the proxy in front leads /streams/ to their process, or the
# number of that process's own port on the same host; empty for none, and pages ask for themselves.
STREAMS = os.environ.get("BACKOFFICE_STREAMS", "")
MFA_ADAPTER = "backoffice.core.identity.accounts.SecondFactorAdapter"
MFA_FORMS = {
    "authenticate": "backoffice.core.forms.CodeAtSignInForm",
    "reauthenticate": "backoffice.core.forms.CodeAgainForm",
    "activate_totp": "backoffice.core.forms.FirstCodeForm",
    "authenticate_webauthn": "backoffice.core.forms.PasskeyAtSignInForm",
    "login_webauthn": "backoffice.core.forms.PasskeySignInForm",
    "reauthenticate_webauthn": "backoffice.core.forms.PasskeyAgainForm",
    "add_webauthn": "backoffice.core.forms.NewPasskeyForm",
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
# The device itself asks for a fingerprint or a PIN, so that a passkey alone is two factors wherever it is shown.
MFA_WEBAUTHN_USER_VERIFICATION = "required"
# Addresses are entered by administrators, not by whoever signs up; there is nothing to verify first.
MFA_ALLOW_UNVERIFIED_EMAIL = True
MFA_TOTP_ISSUER = "Broker Back Office"

SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 3600
SESSION_COOKIE_SECURE = BEHIND_TLS
CSRF_COOKIE_SECURE = BEHIND_TLS
CSRF_COOKIE_HTTPONLY = True
SECURE_SSL_REDIRECT = BEHIND_TLS
# Load balancers ask inside the network, without TLS.
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
SECURE_HSTS_SECONDS = 31_536_000 if BEHIND_TLS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = BEHIND_TLS
SECURE_HSTS_PRELOAD = BEHIND_TLS
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
if BEHIND_TLS:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
FORMAT_MODULE_PATH = "backoffice.ui.locale_formats"
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "var" / "static"
STATICFILES_DIRS: list[Path] = []
# Files that people give us and documents that we issue: a private folder, or an S3 bucket when one is named.
PRIVATE_FILES = os.environ.get("BACKOFFICE_PRIVATE_FILES", str(BASE_DIR / "var" / "files"))
STORAGES = {
    "default": private_storage(folder=PRIVATE_FILES, bucket=os.environ.get("BACKOFFICE_S3_BUCKET", "")),
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
# Ticks with their verdicts: Parquet files by symbol and day, on a disk of this machine, kept for so many days.
TICK_FOLDER = os.environ.get("BACKOFFICE_TICKS", str(BASE_DIR / "var" / "ticks"))
TICK_DAYS = int(os.environ.get("BACKOFFICE_TICK_DAYS", "90"))
# How many days the messages of FIX sessions are kept; those that executions rest on are kept for good.
DROP_COPY_DAYS = int(os.environ.get("BACKOFFICE_DROP_COPY_DAYS", "30"))
# A clamd that looks at each uploaded file: unix:///run/clamav/clamd.ctl or tcp://host:3310; empty for none.
FILE_SCANNER = os.environ.get("BACKOFFICE_FILE_SCANNER", "")
WHITENOISE_USE_FINDERS = True
# No URL ever points into the private folder: files leave through permissioned, audited views only.
MEDIA_ROOT = ""
DATA_UPLOAD_MAX_MEMORY_SIZE = 30 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 30 * 1024 * 1024

# Mails are caught in a folder that administrators can read on the desk, until a provider is named: Django's SMTP
# backend, or one of anymail's. Of anymail, every BACKOFFICE_ANYMAIL_<NAME> becomes its setting <NAME>.
EMAIL_BACKEND = os.environ.get("BACKOFFICE_EMAIL_BACKEND", "backoffice.core.messages.catcher.CatcherBackend")
EMAIL_FILE_PATH = os.environ.get("BACKOFFICE_EMAIL_FOLDER", str(BASE_DIR / "var" / "mail"))
EMAIL_HOST = os.environ.get("BACKOFFICE_SMTP_HOST", "localhost")
EMAIL_PORT = env_int("BACKOFFICE_SMTP_PORT", default=587)
EMAIL_HOST_USER = os.environ.get("BACKOFFICE_SMTP_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("BACKOFFICE_SMTP_PASSWORD", "")
EMAIL_USE_TLS = env_bool("BACKOFFICE_SMTP_TLS", default=True)
EMAIL_TIMEOUT = 20
ANYMAIL = env_group("BACKOFFICE_ANYMAIL_")
# Where people reach the site; links in mails begin with it.
PUBLIC_URL = os.environ.get("BACKOFFICE_PUBLIC_URL", "http://localhost:8000").rstrip("/")
DEFAULT_FROM_EMAIL = os.environ.get("BACKOFFICE_FROM_EMAIL", "Back office <backoffice@localhost>")

CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 900}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_ENABLE_UTC = True
CELERY_TIMEZONE = "UTC"
CELERY_TASK_TIME_LIMIT = 600
CELERY_BEAT_SCHEDULER = "backoffice.core.beat:HeartbeatScheduler"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
# Documents are rendered by a worker of their own, whose memory is given back often; a worker that is told of no queue
# takes up both, as in the demo.
CELERY_TASK_DEFAULT_QUEUE = "celery"
CELERY_TASK_QUEUES = [Queue("celery"), Queue("pdf")]

# What all partners together may be paid for the trades of a day, in percent of what those brought in; above it somebody looks.
IB_PAYOUT_LIMIT_PERCENT = env_int("BACKOFFICE_IB_PAYOUT_LIMIT_PERCENT", default=100)
# How many days before the registration a touch of a campaign or partner still counts as evidence for who brought a client.
IB_ATTRIBUTION_DAYS = env_int("BACKOFFICE_IB_ATTRIBUTION_DAYS", default=30)
# Calls to the API within a minute: of one key or person, and from one address, whoever calls from there.
API_CALLS_PER_MINUTE = env_int("BACKOFFICE_API_CALLS_PER_MINUTE", default=600)
API_CALLS_PER_MINUTE_AND_ADDRESS = env_int("BACKOFFICE_API_CALLS_PER_MINUTE_AND_ADDRESS", default=1200)
# Webhooks go to public addresses over TLS only; a development machine may also send to itself, without TLS.
WEBHOOKS_ALLOW_LOCAL = env_bool("BACKOFFICE_WEBHOOKS_ALLOW_LOCAL", default=False)
# A file of certificate authorities that receivers of webhooks may be signed by, beside those of the system.
WEBHOOK_AUTHORITIES = os.environ.get("BACKOFFICE_WEBHOOK_AUTHORITIES", "")

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "backoffice.ui.api.ApiKeyAuthentication",
        "backoffice.ui.api.SecondFactorSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["backoffice.ui.api.CapabilityPermission"],
    "DEFAULT_THROTTLE_CLASSES": ["backoffice.ui.api.CallerThrottle"],
    "DEFAULT_PAGINATION_CLASS": "backoffice.ui.api_pages.StandardCursorPagination",
    "DEFAULT_FILTER_BACKENDS": ["backoffice.ui.api_pages.StrictFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "backoffice.ui.api_schema.ProblemAutoSchema",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["backoffice.ui.api_parsers.StrictJSONParser"],
    "DEFAULT_METADATA_CLASS": None,
    "URL_FORMAT_OVERRIDE": None,
    "EXCEPTION_HANDLER": "backoffice.ui.api.problem_response",
    "COERCE_DECIMAL_TO_STRING": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Broker Back Office API",
    "DESCRIPTION": "Use cases of the back office. Amounts are decimal strings; times are UTC.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "ENUM_NAME_OVERRIDES": {
        "TeamScopeEnum": "ib.models.rank_rules.RankScope",
        "SuppressionScopeEnum": "backoffice.core.models.messages.Suppression.Scope",
        "RoleEnum": "backoffice.core.types.Role",
        "JobStateEnum": "backoffice.core.models.Job.State",
        "EndpointStateEnum": "backoffice.core.models.WebhookEndpoint.State",
        "DeliveryStateEnum": "backoffice.core.models.WebhookDelivery.State",
        "WorkItemStateEnum": "backoffice.core.models.WorkItem.State",
        "WorkEventKindEnum": "backoffice.core.models.WorkItemEvent.Kind",
        "ChangeStateEnum": "backoffice.core.changes.rules.ChangeState",
        "MessageStateEnum": "backoffice.core.models.Message.State",
        "FileStateEnum": "backoffice.core.models.StoredFile.State",
        "LoginEventKindEnum": "backoffice.core.models.LoginEvent.Kind",
        "TermsKindEnum": "backoffice.core.models.TermsVersion.Kind",
        "ClientStageEnum": "crm.models.Client.Stage",
        "AccountStatusEnum": "platform_ops.models.TradingAccount.Status",
        "ImportStateEnum": "platform_ops.models.StatementImport.State",
        "ImportFormatEnum": "platform_ops.models.StatementImport.Format",
        "BusinessDayStateEnum": "platform_ops.models.BusinessDay.State",
        "DayStepStateEnum": "platform_ops.models.BusinessDayStep.State",
        "LedgerAccountKindEnum": "funding.ledger.chart.AccountKind",
        "EntryKindEnum": "funding.ledger.models.JournalEntry.Kind",
        "HoldStateEnum": "funding.ledger.models.Hold.State",
        "PartnerStatusEnum": "ib.models.Partner.Status",
        "PlanVersionStateEnum": "ib.models.PlanVersion.State",
        "PlanRuleBasisEnum": "ib.models.plans.Basis",
        "PlanRuleDistributionEnum": "ib.models.plans.Distribution",
        "SideEnum": "funding.ledger.models.Posting.Side",
        "ClientEventKindEnum": "ib.models.client_events.ClientEventKind",
        "PeriodLineKindEnum": "ib.models.periods.PeriodLineKind",
        "CpaClaimStateEnum": "ib.models.CpaClaim.State",
        "DisputeStateEnum": "ib.dispute_rules.DisputeState",
        "DisputeCauseEnum": "ib.dispute_rules.DisputeCause",
        "DisputeSubjectEnum": "ib.dispute_rules.DisputeSubject",
        "DisputeDecisionEnum": "ib.dispute_rules.DisputeDecision",
        "DisputeCorrectionEnum": "ib.dispute_rules.Correction",
        "CommissionStatementStateEnum": "ib.models.CommissionStatement.State",
        "AppliedPartnerKindEnum": "ib.models.applications.APPLIED_KINDS",
        "PayoutKindEnum": "ib.models.payouts.PayoutKind",
        "PayoutStateEnum": "ib.models.Payout.State",
        "PayoutMethodStateEnum": "ib.models.PayoutMethod.State",
        "StatementPaperKindEnum": "ib.models.StatementPaper.Kind",
        "StatementPeriodEnum": "ib.models.statements.StatementPeriod",
        "TradeSideEnum": "ib.models.PlanRule.Side",
        "CoverageEnum": "ib.types.Coverage",
        "PriceVerdictEnum": "platform_ops.api.prices.VERDICT_CHOICES",
        "SwapModeEnum": "platform_ops.api.shared.SWAP_MODES",
        "SwapSheetModeEnum": "platform_ops.api.shared.SHEET_MODES",
        "SwapRowModeEnum": "platform_ops.api.shared.ROW_MODE_NAMES",
        "RolloverModeEnum": "platform_ops.models.SwapSetting.Mode",
        "SwapMarkupKindEnum": "platform_ops.models.SwapMarkupRule.Kind",
        "SymbolNameRuleKindEnum": "platform_ops.models.SymbolNameRule.Kind",
        "AccountTypeKindEnum": "platform_ops.models.AccountType.Kind",
        "ReportFormatEnum": "backoffice.reports.models.IssuedReport.Format",
    },
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
}

# Sample statements, ticks and bank files for acceptance tests; tests skip, saying so, where it is absent.
# Folders of deals CSV files that servers without a reader are followed from lie below this one. Empty: there are none.
DEALS_INBOX = os.environ.get("BACKOFFICE_DEALS_INBOX", "")
SAMPLE_DATA_DIR = Path(os.environ.get("SAMPLE_DATA_DIR", str(BASE_DIR.parent / "shared" / "data")))

# Routine events of tasks and requests' beginnings are for debugging; addresses of people are not logged at all.
DJANGO_STRUCTLOG_CELERY_ENABLED = True
DJANGO_STRUCTLOG_CELERY_DEFAULT_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = logging.DEBUG
DJANGO_STRUCTLOG_STATUS_4XX_LOG_LEVEL = logging.INFO
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False

# Figures for Prometheus at /metrics: nobody may read them unless a token (at least 32 characters) or addresses are set.
METRICS_TOKEN = os.environ.get("BACKOFFICE_METRICS_TOKEN", "")
METRICS_ADDRESSES = env_list("BACKOFFICE_METRICS_ADDRESSES", default=[])
# Backups are sealed under this key when it is set: base64 of 32 bytes, kept apart from the backups.
BACKUP_KEY = os.environ.get("BACKOFFICE_BACKUP_KEY", "")

LOG_FORMAT = os.environ.get("BACKOFFICE_LOG_FORMAT", "json")
LOG_LEVEL = os.environ.get("BACKOFFICE_LOG_LEVEL", "INFO")
LOGGING_CONFIG = "backoffice.core.observing.logs.configure"
LOGGING = {"format": LOG_FORMAT, "level": LOG_LEVEL}
