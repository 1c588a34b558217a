# -*- coding: latin-1 -*-
# /// judge
# about = "coding line"
# tests = [["", "ok"]]
# ///
print('ok')
