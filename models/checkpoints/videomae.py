"""How VideoMAE weights are named in public files (adatad-facts 2.4), and their translation to our names.

    patch_embed.proj.*              authors: MCG-NJU/VideoMAE, OpenGVLab/VideoMAEv2, and our own files: our names
    encoder.* decoder.* mask_token  authors, pre-training: the encoder is a backbone
    patch_embed.projection.*        mmaction2 and OpenTAD's converted files (`backbone.` stripped before)
    embeddings.* encoder.layer.*    Hugging Face transformers; `q_bias` in version 4, `query.bias` in version 5

The networks are the same in all of them, so translating is renaming; only transformers splits what others fuse.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from models.checkpoints.layout import Layout, Translated
from models.checkpoints.rename import Rule, join, rename
from models.config import VideoMAEConfig
from models.positions import sinusoid_table

CLASSIFIER = "part of the classifier"
NORM = "a norm after the last block, which features do not pass through"
DECODER = "part of the pre-training decoder"
TABLE = "the fixed position table, computed here"
PRETRAINING = (
    "a pre-training file (it learned to fill in pixels): published detectors start from weights that were fine-tuned "
    "on Kinetics afterwards"
)
SETTINGS = "its config.json is not read: the number of heads and the norms' epsilon are the published network's"
TABLE_ERROR = 1e-2
"""Rounding to bfloat16 moves a sine by 0.004; learned positions differ from the table by about 1."""

LAYER = r"blocks\.\d+\."
OWN = (
    r"patch_embed\.proj\.(weight|bias)",
    LAYER + r"(norm1|norm2|attn\.proj|mlp\.fc1|mlp\.fc2)\.(weight|bias)",
    LAYER + r"attn\.(qkv\.weight|q_bias|v_bias)",
)
OPENMMLAB_NAMES: tuple[Rule, ...] = (
    (r"patch_embed\.projection\.(weight|bias)", r"patch_embed.proj.\1"),
    (rf"({LAYER})mlp\.layers\.0\.0\.(weight|bias)", r"\1mlp.fc1.\2"),
    (rf"({LAYER})mlp\.layers\.1\.(weight|bias)", r"\1mlp.fc2.\2"),
    (rf"({LAYER})((norm1|norm2|attn\.proj)\.(weight|bias)|attn\.(qkv\.weight|q_bias|v_bias))", r"\1\2"),
)
HF = r"(?:videomae\.)?"
HF_LAYER = HF + r"encoder\.layer\.(\d+)\."
HF_NAMES: tuple[Rule, ...] = (
    (HF + r"embeddings\.patch_embeddings\.projection\.(weight|bias)", r"patch_embed.proj.\1"),
    (HF_LAYER + r"layernorm_before\.(weight|bias)", r"blocks.\1.norm1.\2"),
    (HF_LAYER + r"layernorm_after\.(weight|bias)", r"blocks.\1.norm2.\2"),
    (HF_LAYER + r"attention\.attention\.(?:q_bias|query\.bias)", r"blocks.\1.attn.q_bias"),
    (HF_LAYER + r"attention\.attention\.(?:v_bias|value\.bias)", r"blocks.\1.attn.v_bias"),
    (HF_LAYER + r"attention\.output\.dense\.(weight|bias)", r"blocks.\1.attn.proj.\2"),
    (HF_LAYER + r"intermediate\.dense\.(weight|bias)", r"blocks.\1.mlp.fc1.\2"),
    (HF_LAYER + r"output\.dense\.(weight|bias)", r"blocks.\1.mlp.fc2.\2"),
)
HF_MARK = rf"{HF_LAYER}intermediate\.dense\.weight"
HF_THIRD = re.compile(HF_LAYER + r"attention\.attention\.(query|key|value)\.weight")
HF_KEY_BIAS = re.compile(HF_LAYER + r"attention\.attention\.(?:k_bias|key\.bias)")

IGNORED: tuple[Rule, ...] = (
    (r"(fc_norm|head|cls_head|classifier)\..*", CLASSIFIER),
    (r"(norm|encoder\.norm|(videomae\.)?layernorm)\.(weight|bias)", NORM),
    (r"decoder\..*|mask_token|encoder_to_decoder\.(weight|bias)", DECODER),
)
TABLES = re.compile(rf"pos_embed|encoder\.pos_embed|{HF}embeddings\.position_embeddings")


def _authors(state: Mapping[str, Tensor], config: VideoMAEConfig) -> Translated:
    return _renamed(state, config, tuple((name, r"\g<0>") for name in OWN))


def _pretraining(state: Mapping[str, Tensor], config: VideoMAEConfig) -> Translated:
    return _renamed(state, config, tuple((rf"encoder\.({name})", r"\1") for name in OWN))


def _openmmlab(state: Mapping[str, Tensor], config: VideoMAEConfig) -> Translated:
    return _renamed(state, config, OPENMMLAB_NAMES)


def _transformers(state: Mapping[str, Tensor], config: VideoMAEConfig) -> Translated:
    """Translate transformers' names: a fused projection from three, and a key bias that must be the constant it is."""
    thirds = {name for name in state if HF_THIRD.fullmatch(name)}
    key_biases = {name: value for name, value in state.items() if HF_KEY_BIAS.fullmatch(name)}
    rest = {name: value for name, value in state.items() if name not in thirds and name not in key_biases}
    zero = {name for name, value in key_biases.items() if value.is_meta or not bool(value.any())}
    constants = Translated(
        state={},
        ignored=dict.fromkeys(zero, "a constant zero"),
        refused=dict.fromkeys(key_biases.keys() - zero, "is not zero, as it is in VideoMAE"),
    )
    return join(_renamed(rest, config, HF_NAMES), _fused({name: state[name] for name in thirds}), constants)


def _fused(thirds: Mapping[str, Tensor]) -> Translated:
    """Return the fused projections; those of which a part is missing, of another shape or type are refused."""
    blocks: dict[str, dict[str, str]] = {}
    for name in thirds:
        found = HF_THIRD.fullmatch(name)
        assert found is not None
        blocks.setdefault(found[1], {})[found[2]] = name
    fused: dict[str, Tensor] = {}
    refused: dict[str, str] = {}
    for block, names in blocks.items():
        parts = [thirds[names[part]] for part in ("query", "key", "value") if part in names]
        if len(parts) == 3 and len({(part.shape, part.dtype) for part in parts}) == 1 and parts[0].dim() == 2:
            fused[f"blocks.{block}.attn.qkv.weight"] = torch.cat(parts)
        else:
            refused |= dict.fromkeys(names.values(), "does not form a projection with those beside it")
    return Translated(state=fused, refused=refused)


def _renamed(state: Mapping[str, Tensor], config: VideoMAEConfig, rules: Sequence[Rule]) -> Translated:
    tables = {name: value for name, value in state.items() if TABLES.fullmatch(name)}
    problems = {name: _table_problem(value, config) for name, value in tables.items()}
    rest = {name: value for name, value in state.items() if name not in tables}
    checked = Translated(
        state={},
        ignored={name: TABLE for name, problem in problems.items() if not problem},
        refused={name: problem for name, problem in problems.items() if problem},
    )
    return join(rename(rest, rules, IGNORED), checked)


def _table_problem(value: Tensor, config: VideoMAEConfig) -> str:
    """Say why a file's position table is another network's; empty if it is the fixed one."""
    side = config.image_size // config.patch
    tokens = config.clip_frames // config.tubelet * side**2
    if value.numel() != tokens * config.width:
        return f"has shape {tuple(value.shape)}, expected {tokens} positions ({config.image_size} pixels)"
    if value.is_complex():
        return "holds complex numbers, expected the fixed sinusoids"
    if value.is_meta:
        return ""
    off = (value.reshape(tokens, config.width).float() - sinusoid_table(tokens, config.width)).abs().max()
    return "" if off < TABLE_ERROR else "holds learned positions, expected the fixed sinusoids"


def _holding(*patterns: str) -> Callable[[Collection[str]], bool]:
    """Return a test for keys of which at least one matches each pattern."""

    def recognise(keys: Collection[str]) -> bool:
        return all(any(re.fullmatch(pattern, key) for key in keys) for pattern in patterns)

    return recognise


LAYOUTS = (
    Layout(
        name="VideoMAE in its authors' layout (MCG-NJU, OpenGVLab), which is also ours",
        family="videomae",
        recognise=_holding(r"blocks\.\d+\.mlp\.fc1\.weight"),
        translate=_authors,
    ),
    Layout(
        name="VideoMAE pre-training in its authors' layout (MCG-NJU, OpenGVLab)",
        family="videomae",
        recognise=_holding(r"encoder\.blocks\.\d+\.mlp\.fc1\.weight"),
        translate=_pretraining,
        note=PRETRAINING,
    ),
    Layout(
        name="VideoMAE as mmaction2 and OpenTAD name it",
        family="videomae",
        recognise=_holding(r"blocks\.\d+\.mlp\.layers\.0\.0\.weight"),
        translate=_openmmlab,
    ),
    Layout(
        name="VideoMAE pre-training as Hugging Face transformers name it",
        family="videomae",
        recognise=_holding(HF_MARK, r"decoder\..*"),
        translate=_transformers,
        note=f"{PRETRAINING}; {SETTINGS}",
    ),
    Layout(
        name="VideoMAE as Hugging Face transformers name it",
        family="videomae",
        recognise=_holding(HF_MARK),
        translate=_transformers,
        note=SETTINGS,
    ),
)
"""Every public layout of a VideoMAE network, and our own; the more particular ones first."""
