"""The swap desk: a provider's sheet becomes a draft, the draft a change request, the request rates in force and on the servers.

`sheets` takes a sheet in · `editing` works on its grid · `grid` shows it with what is suspicious and what a night costs ·
`proposing` hands it in · `kind` is the change itself · `pushing` tells the servers and reads them back · `markup` keeps the
rules.
"""
