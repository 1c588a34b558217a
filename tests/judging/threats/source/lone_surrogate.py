# /// judge
# about = "lone surrogates: bytes that are no UTF-8, as a tokenizer may decode them"
# verdicts = ["CE"]
# ///
print("í €")
