# /// judge
# about = "__main__"
# tests = [["3 4\n", "7\n"]]
# ///
def main():
    print(7)
if __name__ == '__main__':
    main()
