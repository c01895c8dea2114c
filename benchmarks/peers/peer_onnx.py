"""ONNX Runtime and OpenVINO as peers, for inference: both read the same ONNX graph, made from the model's layers."""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import minicnn as mc

from ..models import Scale


class OnnxRuntime:
    def __init__(self, threads):
        import onnxruntime
        self.version, self.runtime = onnxruntime.__version__, onnxruntime
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads, self.options.inter_op_num_threads = threads, 1

    def forward(self, model, x):
        session = self.runtime.InferenceSession(graph(model, x.shape), self.options, ["CPUExecutionProvider"])
        feed = {"x": np.ascontiguousarray(x.transpose(0, 3, 1, 2))}
        return (lambda: session.run(None, feed)[0]), (lambda y: [y.transpose(0, 2, 3, 1)])

    def constant_conv(self, w, x, dilation):
        return self.forward(_one_conv(w, dilation), x)


class OpenVino:
    def __init__(self, threads):
        import openvino
        self.version, self.core = openvino.__version__, openvino.Core()
        self.options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1,
                        "INFERENCE_PRECISION_HINT": "f32"}         # not the bfloat16 that it takes where it can

    def forward(self, model, x):
        net = self.core.compile_model(self.core.read_model(graph(model, x.shape)), "CPU", self.options)
        request, x = net.create_infer_request(), np.ascontiguousarray(x.transpose(0, 3, 1, 2))

        def step():
            request.infer([x], share_inputs=True)
            return request.get_output_tensor().data
        return step, lambda y: [y.transpose(0, 2, 3, 1).copy()]

    def constant_conv(self, w, x, dilation):
        return self.forward(_one_conv(w, dilation), x)


def _one_conv(w, dilation):
    conv = mc.Conv(*w.shape[2:], padding=dilation, dilation=dilation, bias=False)
    conv.w.value = w
    return mc.Chain(conv)


# ------------------------------------------------------------------ the graph


def graph(model, shape):
    """The model as the bytes of an ONNX file, for images of this (N, H, W, C); ONNX has (N, C, H, W)."""
    nodes, constants, name = [], [], "x"
    for i, layer in enumerate(model.layers):
        kind, arrays, attributes = _translated(layer)
        inputs = [f"c{i}_{j}" if a.size else "" for j, a in enumerate(arrays)]
        constants += [numpy_helper.from_array(np.ascontiguousarray(a), n) for n, a in zip(inputs, arrays) if n]
        nodes.append(helper.make_node(kind, [name, *inputs], [f"y{i}"], **attributes))
        name = f"y{i}"
        if isinstance(layer, Scale):
            constants.append(numpy_helper.from_array(np.float32(layer.shift), f"s{i}"))
            nodes.append(helper.make_node("Add", [name, f"s{i}"], [f"z{i}"]))
            name = f"z{i}"
    n, height, width, channels = shape
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [n, channels, height, width])
    y = helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4)
    made = helper.make_model(helper.make_graph(nodes, "net", [x], [y], constants), ir_version=9,
                             opset_imports=[helper.make_opsetid("", 17)])
    onnx.checker.check_model(made)
    return made.SerializeToString()


def _translated(layer):
    """(ONNX operator, its constants, its attributes) of a minicnn layer."""
    if isinstance(layer, (mc.Conv, mc.Deconv)):
        weights = [mc.value(layer.w).transpose(3, 2, 0, 1)] + ([] if layer.b is None else [mc.value(layer.b)])
        return "ConvTranspose" if isinstance(layer, mc.Deconv) else "Conv", weights, _attributes(layer)
    if isinstance(layer, mc.BatchNorm):
        scale, shift = np.split(mc.value(layer.params), 2)
        return "BatchNormalization", [scale, shift, layer.moments.mean, layer.moments.var], {"epsilon": layer.eps}
    if isinstance(layer, mc.Upsample):
        scales = np.array([1, 1, layer.scale, layer.scale], "float32")
        mode = "linear" if layer.mode == "bilinear" else layer.mode
        return "Resize", [np.zeros(0, "float32"), scales], {"mode": mode}
    if isinstance(layer, Scale):
        return "Mul", [np.array(layer.factor, "float32")], {}
    if layer is mc.softmax:
        return "Softmax", [], {"axis": 1}
    return {mc.tanh: "Tanh", mc.relu: "Relu"}[layer], [], {}


def _attributes(layer):
    padding, stride = layer.padding, layer.stride
    if padding == "same":                           # TensorFlow's rule, for even sizes and windows of 3 or 1
        before, after = 0, 1 if stride == 2 else 0
    else:
        before = after = padding
    return {"kernel_shape": layer.w.shape[:2], "strides": [stride] * 2, "dilations": [layer.dilation] * 2,
            "pads": [before] * 2 + [after] * 2}
