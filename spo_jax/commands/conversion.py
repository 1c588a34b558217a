"""What `spo import` and `spo export` share: a checkpoint in, a Hugging Face directory out."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spo_jax.errors import UserError

if TYPE_CHECKING:
    from spo_jax.models import ModelConfig
    from spo_jax.tokenizers import Tokenizer

DTYPES = ("float32", "bfloat16", "float16")


def add_conversion_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("directory", metavar="DIR", help="to write; must be new or empty")
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        help="of the written weights; default: as they are (float32 from GGUF)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="write into DIR although it holds files"
    )
    parser.add_argument(
        "--without_tokenizer", action="store_true", help="leave the tokenizer's files out"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def convert(
    source: str | Path,
    args: argparse.Namespace,
    params_of: "Callable[[ModelConfig], Any] | None" = None,
) -> None:
    """Loads `source` and writes it to `args.directory`; prints what was written.

    Args:
      source: gives the configuration, the tokenizer and the parameters.
      args: of the command.
      params_of: gives other parameters of that configuration.

    Raises:
      UserError: the directory is not empty, or anything `load_pretrained` refuses.
    """
    import jax

    from spo_jax.models import load_config, load_pretrained, save_pretrained
    from spo_jax.models.pretrained import check_vocabulary, resolve

    target = Path(args.directory)
    path = resolve(source)
    _check_target(target, path, args.overwrite)
    tokenizer = None if args.without_tokenizer else _tokenizer(path)
    if tokenizer is not None:
        check_vocabulary(tokenizer, load_config(path))
    if params_of is None:
        pretrained = load_pretrained(path, param_dtype="published")
        config, params = pretrained.config, pretrained.params
        dtypes: Any = pretrained.dtypes
    else:
        config = load_config(path)
        params, dtypes = params_of(config), None
    num_parameters = sum(leaf.size for leaf in jax.tree.leaves(params))
    save_pretrained(target, config, params, tokenizer=tokenizer, dtype=args.dtype or dtypes)
    result = {
        "source": str(source),
        "directory": str(target),
        "family": config.family,
        "num_parameters": num_parameters,
        "dtype": args.dtype or config.param_dtype,
        "tokenizer": tokenizer is not None,
    }
    if args.json:
        print(json.dumps(result))
        return
    print(
        f"{target}: {result['family']} model, {num_parameters / 1e6:.1f}M parameters, "
        f"{result['dtype']}, {'with' if tokenizer else 'without'} tokenizer"
    )


def _check_target(target: Path, source: Path, overwrite: bool) -> None:
    if target.exists() and not target.is_dir():
        raise UserError(f"{target} is a file; DIR must be a directory")
    if target.exists() and target.resolve() == source.resolve():
        raise UserError(f"{target}: source and target are the same directory")
    if target.exists() and any(target.iterdir()) and not overwrite:
        raise UserError(f"{target} is not empty; give another directory or --overwrite")


def _tokenizer(path: Path) -> "Tokenizer | None":
    from spo_jax.tokenizers import load_tokenizer

    if path.is_dir() and not (path / "tokenizer.json").is_file():
        print(f"{path} has no tokenizer.json: only the model is written", file=sys.stderr)
        return None
    return load_tokenizer(path)
