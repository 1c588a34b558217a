// /// judge
// about = "opens a connection"
// tests = [["", "contained"]]
// ///
#include <bits/stdc++.h>
using namespace std;
#include <sys/socket.h>
int main() { puts(socket(AF_INET, SOCK_STREAM, 0) < 0 && socket(AF_INET6, SOCK_STREAM, 0) < 0 ? "contained" : "reached"); }
