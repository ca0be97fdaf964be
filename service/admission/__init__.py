"""Admission: which rankings run now, which wait, and which are refused at once, by the prompt tokens they cost."""
