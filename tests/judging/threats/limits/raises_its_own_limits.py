# /// judge
# about = "raises its own limits"
# tests = [["", "contained"]]
# ///
import resource
raised = []
for name in dir(resource):
    if name.startswith('RLIMIT_'):
        limit = getattr(resource, name)
        soft, hard = resource.getrlimit(limit)
        if hard == -1: continue
        try:
            resource.setrlimit(limit, (hard, hard + 1))
            raised.append(name)
        except (OSError, ValueError): pass
print(raised or 'contained')
