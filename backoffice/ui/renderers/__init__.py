"""Files that leave the house: CSV, XLSX and PDF from the same headings and rows."""
