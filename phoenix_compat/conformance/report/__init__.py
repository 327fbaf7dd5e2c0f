"""What a run of the suite found, and the forms in which it is told.

summary    the verdicts, against what was expected
terminal   for whoever sits in front of it
machine    JSON and JUnit XML
page       one HTML page, self-contained
badge      a picture for a README
"""
