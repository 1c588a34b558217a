# /// judge
# about = "walks up to the runner"
# tests = [["", "contained"]]
# ///
import sys
frame = sys._getframe()
while frame:
    control = frame.f_locals.get('control') or frame.f_globals.get('control')
    if control is not None and hasattr(control, 'send'):
        try: control.send(b'done 0 0.0 1 - 1 0'); print('sent')
        except OSError: pass
    frame = frame.f_back
print('contained')
