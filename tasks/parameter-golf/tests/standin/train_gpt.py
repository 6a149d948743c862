# Stands for upstream's training on a machine without GPUs: it prints a log of that form, and leaves a file for the model.
import os, signal, sys, time
class Hyperparameters:qk_gain_init=float(os.environ.get('QK_GAIN_INIT',5.));ttt_enabled=bool(int(os.environ.get('TTT_ENABLED','0')));matrix_lr=float(os.environ.get('MATRIX_LR',.022))
HOW = "well"
SMOKE = "ITERATIONS" in os.environ
MODEL = {"too large": 16_000_000, "too large at once": 16_000_000}.get(HOW, 15_975_300)


def scored(label, loss, bpb, ms):
    print(f"{label} val_loss:{loss:.8f} val_bpb:{bpb:.8f} eval_time:{ms}ms")


def train():
    if HOW == "setup hangs" and not SMOKE:
        time.sleep(60)
    if HOW == "says it is over before it begins":
        print("stopping_early: wallclock_cap train_time: 0ms step: 0/20000")
    print("1/20000 train_loss: 9.0111 train_time: 0.0m tok/s: 8348323")
    if HOW == ("exception at once" if SMOKE else "exception"):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    if HOW == "killed" and not SMOKE:
        os.kill(os.getpid(), signal.SIGKILL)
    if HOW in ("endless training", "says it is over before it begins") and not SMOKE:
        time.sleep(60)
    print("4550/20000 val_loss: 2.8119 val_bpb: 1.0886")
    print("stopping_early: wallclock_cap train_time: 588047ms step: 4550/20000")
    print("peak memory allocated: 39045 MiB reserved: 39124 MiB")


def pack():
    print(f"Code size: {os.path.getsize(__file__)} bytes")
    with open("final_model.int6.ptz", "wb") as f:
        f.truncate(2_000_000 if SMOKE and HOW != "too large at once" else MODEL)
    with open("final_model.pt", "wb") as f:  # as large as upstream's, and nobody's artifact
        f.truncate(135_431_033)
    print(f"Serialized model quantized+brotli: {MODEL} bytes")


def evaluate():
    scored("pre-quantization post-ema", 2.80873254, 1.08734790, 7440)
    pack()
    scored("quantized", 2.84065044, 1.09970431, 25515)
    if SMOKE:
        return
    scored("quantized_sliding_window", 2.79714850, 1.08286335, 120961)
    print("ttt:start chunks=1238 ttt_lr=0.005 ttt_epochs=3")
    if HOW == "endless evaluation":
        time.sleep(60)
    if HOW == "late":
        time.sleep(1.2)
    if HOW != "no score":
        scored("quantized_ttt", 2.79180191, float("nan") if HOW == "not a number" else 1.08079352, 366525)


h = Hyperparameters()
print("Hyperparameters:", h.qk_gain_init, h.ttt_enabled, "world_size:", os.environ["WORLD_SIZE"], "seed:", os.environ["SEED"], file=sys.stderr)
assert h.ttt_enabled and h.qk_gain_init == 5.25 and os.environ["VAL_LOSS_EVERY"] == "0"
train()
evaluate()
