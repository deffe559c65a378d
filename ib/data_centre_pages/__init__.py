"""The pages of the data centre, once for the portal and the desk: what they show; the fronts say for whom."""
