"""What all parts of the model are: holders of official weights whose computation is JAX's.

Where PyTorch is installed they are `torch.nn.Module`s, so that optimisers, state dictionaries and wrappers find what
they expect.
"""

from collections.abc import Callable, Sequence
from functools import partial
from string import ascii_lowercase
from typing import Any, ClassVar, TypeVar

import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from sam_jax.checkpoints.conversion import flatten
from sam_jax.checkpoints.names import Translation, rearrange, translate_path
from sam_jax.models import (
    Compute,
    Model,
    SamConfig,
    default_compute,
    init_variables,
    suit,
)
from sam_jax.segment_anything.modeling.plain_module import PlainModule
from sam_jax.segment_anything.tensors import (
    HostArray,
    Tensor,
    as_array,
    compute,
    is_tensor,
    torch,
    wants_gradient,
)
from sam_jax.types import InputError, Variables

ORDER = (
    *("pos_embed", "patch_embed", "blocks", "neck"),
    *("pe_layer", "point_embeddings", "not_a_point_embed", "mask_downscaling", "no_mask_embed"),
    *("transformer", "iou_token", "mask_tokens", "output_upscaling", "output_hypernetworks_mlps"),
    *("iou_prediction_head", "layers", "final_attn_token_to_image", "norm_final_attn"),
    *("self_attn", "norm1", "attn", "cross_attn_token_to_image", "norm2", "mlp", "norm3", "norm4"),
    *("cross_attn_image_to_token", "rel_pos_h", "rel_pos_w", "qkv", "q_proj", "k_proj", "v_proj"),
    *("proj", "out_proj", "lin1", "lin2", "weight", "bias"),
)
"""Parts of official names, in the order in which the official modules have them."""


def _choose_base() -> Any:
    return PlainModule if torch is None else torch.nn.Module


Base: Any = _choose_base()


class Module(Base):
    """A module that stays where it is when PyTorch lacks the device that it is sent to."""

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """The module itself, its tensors on another device of PyTorch's if there is one; JAX computes where it did.

        Args:
            args: Device, dtype or tensor, as for `torch.nn.Module.to`.
            kwargs: The same by name.
        """
        names = [value for value in (*args, kwargs.get("device")) if isinstance(value, str)]
        if torch is None or any(not _is_device(name) for name in names):
            return self
        return super().to(*args, **kwargs)

    def _apply(self, fn: Callable[[Any], Any], recurse: bool = True) -> Any:
        try:
            fn(torch.zeros(1))
        except (RuntimeError, AssertionError, NotImplementedError):  # no such device here
            return self
        return super()._apply(fn, recurse)


def _is_device(name: str) -> bool:
    try:
        torch.device(name)
    except RuntimeError:
        return False
    return True


class Group(Module):
    """Weights whose official names begin alike; `group[0]` is the one that is called "0"."""

    def __len__(self) -> int:
        return len(self._modules)

    def __getitem__(self, index: int) -> Any:
        return self._modules[str(range(len(self))[index])]

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Refuses: a group has weights and no computation.

        Args:
            args: Inputs.
            kwargs: Inputs by name.

        Raises:
            InputError: Always.
        """
        raise InputError(
            "only image_encoder, prompt_encoder and mask_decoder can be called; for what is inside of them, use "
            "sam_jax.models, or the official package"
        )

    register_forward_hook = register_forward_pre_hook = forward


P = TypeVar("P", bound="Part")


class Part(Module):
    """One of the three parts of the model, with its weights.

    Attributes:
        prefix: What the official names of the part's weights begin with.
    """

    prefix: ClassVar[str]

    def __init__(self, config: SamConfig, model: Model | None = None) -> None:
        super().__init__()
        variables = init_variables(config) if model is None else model.variables
        own = {
            collection: {self.prefix: tree[self.prefix]}
            for collection, tree in variables.items()
            if self.prefix in tree
        }
        self._config = config
        steps = default_compute(bytes_per_prompt=config.bytes_per_prompt)
        self._compute = suit(steps, jax.local_devices()[0]) if model is None else model.compute
        leaves = flatten(own)
        named = {
            translation.key.removeprefix(f"{self.prefix}."): translation
            for translation in (_translate(path, np.ndim(leaf)) for path, leaf in leaves.items())
        }
        self._translations = {name: named[name] for name in sorted(named, key=_rank)}
        for name, translation in self._translations.items():
            path, axes, _, official_axes = translation
            array = rearrange(np.asarray(leaves[path]), axes, official_axes)
            self._hold(name, np.array(array, order="C"), trained=path.startswith("params/"))
        self._known: tuple[list[float] | None, Variables] = (
            self._fingerprint(),
            jax.tree.map(jax.numpy.asarray, own),
        )

    @classmethod
    def of_model(cls: type[P], model: Model) -> P:
        """This part of a model.

        Args:
            model: Model with its weights.
        """
        part = cls.__new__(cls)
        Part.__init__(part, model.config, model)
        return part

    @property
    def config(self) -> SamConfig:
        """Sizes of the model; only those of this part count."""
        return self._config

    @property
    def steps(self) -> Compute:
        """How the part is computed."""
        return self._compute

    def _hold(self, name: str, array: np.ndarray, *, trained: bool) -> None:
        if torch is None:
            setattr(self, name, array.view(HostArray))
            return
        *groups, last = name.split(".")
        place: Any = self
        for group in groups:
            if group not in place._modules:
                place.add_module(group, Group())
            place = place._modules[group]
        tensor = torch.from_numpy(array)
        if trained:
            trainable = self._config.fine is None
            place.register_parameter(last, torch.nn.Parameter(tensor, requires_grad=trainable))
        else:
            place.register_buffer(last, tensor)

    def _held(self) -> dict[str, Tensor]:
        held = dict(self.named_parameters())
        if torch is not None:
            held |= dict(self.named_buffers())
        if strange := sorted(held.keys() ^ self._translations.keys()):
            raise InputError(
                f"{self.prefix} was changed ({strange[0]}): JAX computes the official architecture; layers that are "
                "added or replaced, such as adapters, need the official package"
            )
        return held

    def _fingerprint(self) -> list[float]:
        """What changes when the weights do; PyTorch counts changes, but not those through `tensor.data`."""
        if torch is None:
            return []
        with torch.no_grad():
            return [tensor.sum(dtype=torch.float64).item() for tensor in self._held().values()]

    def forget(self) -> None:
        """Makes the next computation look at the weights again."""
        self._known = None, {}

    def variables(self) -> Variables:
        """The weights as they are now, as JAX has them."""
        fingerprint = self._fingerprint()
        if fingerprint != self._known[0]:
            held = self._held()
            leaves = {
                translation.path: _in_our_layout(held[name], translation)
                for name, translation in self._translations.items()
            }
            self._known = fingerprint, jax.device_put(unflatten_dict(leaves, sep="/"))
        return self._known[1]

    def device_and_dtype(self) -> tuple[Any, Any]:
        """Where the tensors of the weights are, and their dtype."""
        weight = next(iter(self.parameters()))
        return getattr(weight, "device", "cpu"), weight.dtype

    def run(
        self,
        function: Callable[..., tuple[jax.Array, ...]],
        *inputs: Tensor,
        form: Sequence[Tensor] = (),
    ) -> tuple[Tensor, ...]:
        """What a function gives for the weights and for inputs, as tensors or arrays.

        Args:
            function: Function of variables and inputs, which gives several arrays.
            inputs: Inputs of the function.
            form: Values whose form the results have, with the inputs.
        """
        held = self._held()
        tracked = [name for name, tensor in held.items() if wants_gradient(tensor)]
        if tracked and self.config.fine is not None:
            raise InputError(
                "PyTorch cannot train the small model that comes with this package: use `sam-jax finetune`, or an "
                "official checkpoint, or torch.no_grad()"
            )
        variables = self.variables()
        paths = [self._translations[name].path for name in tracked]

        def of_tracked(*arrays: Any) -> tuple[jax.Array, ...]:
            inputs_now, leaves = arrays[: len(inputs)], arrays[len(inputs) :]
            now = {**flatten(variables), **dict(zip(paths, leaves, strict=True))}
            return function(unflatten_dict(now, sep="/"), *inputs_now)

        weights = [(held[name], self._translations[name]) for name in tracked]
        used = of_tracked if tracked else partial(function, variables)
        results = compute(used, inputs, weights, form)
        _, dtype = self.device_and_dtype()
        return tuple(
            result.to(dtype) if is_tensor(result) and result.is_floating_point() else result
            for result in results
        )


def _rank(name: str) -> list[tuple[int, int, str]]:
    """The place of an official name among the others, for sorting: optimisers tell parameters by their order."""
    return [
        (
            ORDER.index(part) if part in ORDER else len(ORDER),
            int(part) if part.isdigit() else 0,
            part,
        )
        for part in name.split(".")
    ]


def _translate(path: str, ndim: int) -> Translation:
    """The official name of a leaf; additions of the small model, which have none, keep their own."""
    try:
        return translate_path(path)
    except KeyError:
        axes = ascii_lowercase[:ndim]
        return Translation(path, axes, path.split("/", 1)[1].replace("/", "."), axes)


def _in_our_layout(tensor: Tensor, translation: Translation) -> np.ndarray:
    array = as_array(tensor).astype(np.float32, copy=False)
    return np.array(rearrange(array, translation.key_axes, translation.path_axes), order="C")
