# /// judge
# about = "unicode"
# tests = [["aéß漢\n", "漢ßéa"]]
# ///
print(input()[::-1])
