// /// judge
// about = "templates without end"
// verdicts = ["CE"]
// ///
template <int n> struct A { static const int x = A<n + 1>::x + A<n + 2>::x; };
int main() { return A<0>::x; }
