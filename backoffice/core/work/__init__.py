"""Work items: their kinds, the rules of time, the inbox and its mails."""
