# /// judge
# about = "freeing a long chain of objects recurses"
# verdicts = ["AC", "RE", "MLE"]
# limits = {cpu_secs = 2.0}
# ///
class Node:
    pass
head = None
for _ in range(300_000):
    node = Node()
    node.next = head
    head = node
del head, node
print(7)
