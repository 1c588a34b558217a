# /// judge
# about = "exit() in main"
# tests = [["3 4\n", "7\n"]]
# ///
def main():
    print(7)
    exit()
main()
print(8)
