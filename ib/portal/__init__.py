"""An introducing broker's pages: own commission, own clients, own sub-partners, and why each amount is what it is."""
