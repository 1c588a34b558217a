# /// judge
# about = "modules that programs for contests use, at work and not merely imported"
# tests = [["", "7 1790921346 {\"a\": [1, 2.5, null]}"]]
# limits = {cpu_secs = 4.0}
# ///
import asyncio, bisect, collections, datetime, decimal, fractions, functools, heapq, itertools, json, logging, math
import operator, pathlib, random, re, sqlite3, statistics, string, tempfile, threading, typing, uuid, zlib, zoneinfo


async def seven():
    await asyncio.sleep(0.001)
    return 7


assert asyncio.run(seven()) == 7
assert sqlite3.connect(":memory:").execute("select 3 + 4").fetchone() == (7,)
assert sqlite3.connect("/tmp/base").execute("create table t (x)").fetchall() == []
decimal.getcontext().prec = 50
assert str(decimal.Decimal(2).sqrt()).startswith("1.41421356237309504880168872420969")
assert fractions.Fraction(1, 3) + fractions.Fraction(1, 6) == fractions.Fraction(1, 2)
assert heapq.nsmallest(2, [3, 1, 2]) == [1, 2] and bisect.bisect([1, 2, 3], 2) == 2
random.seed(1)
assert random.random() == 0.13436424411240122
assert datetime.date(2024, 2, 29).weekday() == 3 and len(uuid.uuid4().hex) == 32
pathlib.Path("/tmp/file").write_text("7")
assert pathlib.Path("file").read_text() == "7"
logging.warning("to stderr")
queue = __import__("queue").Queue()
threading.Timer(0.001, queue.put, (7,)).start()
assert queue.get(timeout=10) == 7
print(math.isqrt(49), zlib.crc32(b"7"), json.dumps({"a": [1, 2.5, None]}))
