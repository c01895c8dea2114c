"""The best possible speed of `jetson` on paper, and what minicnn's fused plan asks of a GPU.

`python -m benchmarks.kernels.roofline` prints the tables and keeps them in results/roofline.md. No GPU takes part,
nothing is timed. Each layer needs at least its multiply-adds at the device's peak and its bytes (input, output,
weights) at the memory's; the larger of the two times is its bound, and the layers' bounds add up. The fused plan's
numbers come from the launches that minicnn's own host code makes (launches.py).
"""
import argparse
from collections import namedtuple

from .. import models
from ..report import atomically
from . import plans
from .launches import ROOT

TABLE = ROOT / "benchmarks" / "results" / "roofline.md"

Layer = namedtuple("Layer", "name macs inputs outputs weights")
Layer.__doc__ = "A convolution: multiply-adds, and elements read, written and of its weights and bias."
Device = namedtuple("Device", "name fp32 fp16 bandwidth")
Device.__doc__ = "Peak FLOP/s in single precision and in half (without tensor cores), and bytes/s of memory."

DEVICES = [Device("Jetson Nano", 0.236e12, 0.472e12, 25.6e9), Device("RTX 3070 Ti", 21.75e12, 21.75e12, 608e9),
           Device("H100", 66.9e12, 133.8e12, 3.35e12), Device("H200", 66.9e12, 133.8e12, 4.8e12)]
ORIGINAL = 10                               # frames a second that the paper's authors report on the Nano


def layers(height=256, width=256):
    """The Layers of jetson for one image; a transposed convolution has no multiply-adds with zeros between pixels."""
    found, shape = [], (height, width, 1)
    for layer in models.jetson().layers:
        if not hasattr(layer, "stride"):                            # batchnorm, tanh: folded, fused
            continue
        kh, kw, a, b = layer.w.shape
        deconv = isinstance(layer, models.mc.Deconv)
        scale = layer.stride if deconv else 1 / layer.stride
        after = int(shape[0] * scale), int(shape[1] * scale), a if deconv else b
        small = shape if deconv else after
        name = f"{'deconv' if deconv else 'conv'} {kh}x{kw} {shape[2]}-{after[2]}"
        found.append(Layer(name, small[0] * small[1] * kh * kw * a * b, _size(shape), _size(after),
                           layer.w.size + layer.b.size))
        shape = after
    return found


def _size(shape):
    return shape[0] * shape[1] * shape[2]


def one_by_one_fused(given):
    """The layers with each 1x1 convolution computed by the one before it: what lies between never reaches memory."""
    found = []
    for layer in given:
        if "1x1" in layer.name:
            before = found.pop()
            layer = Layer(f"{before.name}, {layer.name}", before.macs + layer.macs, before.inputs, layer.outputs,
                          before.weights + layer.weights)
        found.append(layer)
    return found


def moved(given, bytes_each=4):
    """Bytes from and to memory."""
    return bytes_each * sum(layer.inputs + layer.outputs + layer.weights for layer in given)


def fps(given, device, half=False, passes=0):
    """The bound on frames a second. `passes`: how often each output is read or written again (unfused: 4 times)."""
    peak, each = (device.fp16, 2) if half else (device.fp32, 4)
    return 1 / sum(max(2 * layer.macs / peak, moved([layer], each) / device.bandwidth)
                   + each * passes * layer.outputs / device.bandwidth for layer in given)


# ------------------------------------------------------------------ the plan as it is launched


def plan(arch=53):
    """The Launches of the fused jetson, one image of 256x256."""
    return plans.of_model("jetson", arch)["fused"]


def bytes_of(launches):
    """What the plan moves: each kernel reads or writes each of its arrays once, and a CUDA graph has its own copy of
    the image and of the result."""
    copies = 2 * (launches[0].arrays["x"].nbytes + launches[-1].arrays["y"].nbytes)
    return copies + sum(array.nbytes for launch in launches for array in launch.arrays.values())


def without_gaps(launches):
    """Does each kernel read what the one before it wrote? Then nothing else, such as a copy, happens between them."""
    return all(before.arrays["y"].address == after.arrays["x"].address
               for before, after in zip(launches, launches[1:]))


def executed(launch):
    """Multiply-adds of all blocks of the kernel `gather` (conv.cu), also for pixels and channels that do not exist.

    A block whose first pixel lies beyond the phase's last returns at once; the sum over taps and channels is exact.
    """
    c, n = launch.constants, launch.numbers
    images = int(n["n"])
    pixels, channels = launch.block // c["TX"] * c["TM"], c["TX"] * c["TN"]
    total = 0
    for phase in range(launch.grid[2]):
        row, column = divmod(phase, c["SW"])
        if c["TRANSPOSED"]:
            rows, columns = -(-(int(n["oh"]) - row) // c["SH"]), -(-(int(n["ow"]) - column) // c["SW"])
            taps = _taps(row + c["TOP"], c["KH"], c["SH"], c["DH"])
            taps *= _taps(column + c["LEFT"], c["KW"], c["SW"], c["DW"])
        else:
            rows, columns, taps = int(n["oh"]), int(n["ow"]), c["KH"] * c["KW"]
        blocks = min(launch.grid[0], -(-images * rows * columns // pixels)) * launch.grid[1]
        total += blocks * pixels * channels * taps * c["C"]
    return total


def _taps(first, window, stride, dilation):
    """How many taps of a transposed convolution reach the rows of one phase."""
    return sum((first - i * dilation) % stride == 0 for i in range(window))


# ------------------------------------------------------------------ what is printed


def tables():
    given = layers()
    yield "# The best possible speed of jetson, on paper"
    yield ""
    yield "Written by `python -m benchmarks.kernels.roofline`: computed, no GPU took part. One image of 256x256."
    yield ""
    yield "| layer | million multiply-adds | elements out | parameters | FLOP per byte (fp32) |"
    yield "|---|---|---|---|---|"
    for layer in given:
        yield (f"| {layer.name} | {layer.macs / 1e6:.2f} | {layer.outputs:,} | {layer.weights:,} | "
               f"{2 * layer.macs / moved([layer]):.1f} |")
    yield (f"| sum | {sum(l.macs for l in given) / 1e6:.1f} | {sum(l.outputs for l in given):,} | "
           f"{sum(l.weights for l in given):,} | {2 * sum(l.macs for l in given) / moved(given):.1f} |")
    outputs = sum(layer.outputs for layer in given)
    fewest = one_by_one_fused(given)
    yield ""
    yield (f"Bytes in fp32: {(moved(given) + 16 * outputs) / 1e6:.1f} MB with batchnorm and tanh as kernels of their "
           f"own, {moved(given) / 1e6:.1f} MB with both in the convolution, {moved(fewest) / 1e6:.1f} MB with the "
           "1x1 convolutions in there too.")
    yield ""
    yield f"Best possible frames a second (the original on a Jetson Nano: {ORIGINAL}):"
    yield ""
    yield "| device | unfused | fused | 1x1 fused too | the same in fp16 |"
    yield "|---|---|---|---|---|"
    for device in DEVICES:
        numbers = (fps(given, device, passes=4), fps(given, device), fps(fewest, device),
                   fps(fewest, device, half=True))
        yield f"| {device.name} | " + " | ".join(f"{n:.0f}" for n in numbers) + " |"
    launches = plan()
    yield ""
    yield (f"minicnn's fused plan: {len(launches)} kernels move {bytes_of(launches) / 1e6:.1f} MB, "
           f"{bytes_of(launches) / moved(given):.2f} times the {moved(given) / 1e6:.1f} MB. Their tiles on a Jetson "
           "Nano:")
    yield ""
    yield "| layer | grid | channels x pixels of a block | executed for each useful multiply-add |"
    yield "|---|---|---|---|"
    for layer, launch in zip(given, launches):
        c = launch.constants
        yield (f"| {layer.name} | {'x'.join(map(str, launch.grid))} | {c['TX'] * c['TN']} x "
               f"{launch.block // c['TX'] * c['TM']} | {executed(launch) / layer.macs:.3f} |")


def main(argv=None):
    argparse.ArgumentParser(prog="python -m benchmarks.kernels.roofline",
                            description=__doc__.split("\n")[0]).parse_args(argv)
    text = "\n".join(tables()) + "\n"
    print(text)
    atomically(TABLE, text)


if __name__ == "__main__":
    main()
