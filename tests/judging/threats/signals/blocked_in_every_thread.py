# /// judge
# about = "every signal is blocked in eight threads that spin"
# verdicts = ["TLE"]
# limits = {cpu_secs = 0.3}
# ///
import signal, threading
def spin():
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    while True:
        pass
for _ in range(8):
    threading.Thread(target=spin).start()
spin()
