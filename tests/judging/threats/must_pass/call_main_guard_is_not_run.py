# /// judge
# about = "call style: main guard is not run"
# tests = [["[]", "7"]]
# fn_name = "f"
# ///
def f(): return 7
if __name__ == '__main__':
    f(int(input()))
