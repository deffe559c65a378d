"""One suite for every connector: whichever way records come, they come by the same rules."""
