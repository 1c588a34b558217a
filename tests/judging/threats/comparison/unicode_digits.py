# /// judge
# about = "digits of other scripts, which int() reads"
# verdicts = ["WA"]
# tests = [["", "7"]]
# ///
print('\u0667')
