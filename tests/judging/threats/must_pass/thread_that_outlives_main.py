# /// judge
# about = "thread that outlives main"
# tests = [["3 4\n", "7\n"]]
# ///
import threading, time
threading.Thread(target=lambda: (time.sleep(0.05), print(7))).start()
