"""A watched folder of deals CSV files (docs/formats/deals_csv.md): for servers that have no reader of their own."""
