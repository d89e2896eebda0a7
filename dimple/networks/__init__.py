"""Networks: small networks to train, image networks to measure, and a safe reader of weights files."""

from dimple.networks.architecture import Architecture
from dimple.networks.autoencoder_classifier import AutoencoderClassifier
from dimple.networks.convnet import ConvNet
from dimple.networks.load import MODELS, build_model, check_compatible, load_model
from dimple.networks.mlp import MLP
from dimple.networks.module_network import ModuleNetwork
from dimple.networks.preact_resnet import PreActResNet
from dimple.networks.resnet import ResNet
from dimple.networks.two_layer import TwoLayer
from dimple.networks.weights import load_weights, read_weights
from dimple.networks.wide_resnet import WideResNet
from dimple.networks.wrappers import NormalizedModel, add_second_logit, freeze, unwrap
from dimple.renamed import missing_attribute

# The networks that a scene can train, by the value of `kind`.
ARCHITECTURES: dict[str, type[Architecture]] = {
    "autoencoder_classifier": AutoencoderClassifier,
    "convnet": ConvNet,
    "mlp": MLP,
    "module": ModuleNetwork,
    "preact_resnet": PreActResNet,
    "resnet": ResNet,
    "two_layer": TwoLayer,
    "wide_resnet": WideResNet,
}

__all__ = [
    "ARCHITECTURES",
    "MLP",
    "MODELS",
    "Architecture",
    "AutoencoderClassifier",
    "ConvNet",
    "ModuleNetwork",
    "NormalizedModel",
    "PreActResNet",
    "ResNet",
    "TwoLayer",
    "WideResNet",
    "add_second_logit",
    "build_model",
    "check_compatible",
    "freeze",
    "load_model",
    "load_weights",
    "read_weights",
    "unwrap",
]

__getattr__ = missing_attribute(__name__)
