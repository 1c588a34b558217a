"""`spo import`: any checkpoint this library loads, as a Hugging Face directory."""

import argparse

from spo_jax.commands.conversion import add_conversion_arguments, convert

HELP = "write any loadable checkpoint, GGUF included, as a Hugging Face directory"

_DESCRIPTION = """\
Reads a checkpoint of a supported family (Llama, Qwen 2 and 3, Gemma 2 and 3) and writes
config.json, safetensors and the tokenizer to DIR, which transformers, vLLM and `--model DIR` of
every command here load. Safetensors pass through unchanged, tensor by tensor.
"""
_EPILOG = """\
examples:
  spo import smollm2 models/smollm2
  spo import model.Q4_K_M.gguf models/mine --dtype bfloat16
  spo import Qwen/Qwen2.5-0.5B-Instruct models/qwen      (needs the hub)
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = _DESCRIPTION
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "source",
        metavar="SRC",
        help="a directory with config.json and safetensors, a .gguf file, a hub id, or smollm2",
    )
    add_conversion_arguments(parser)


def run(args: argparse.Namespace) -> int:
    convert(args.source, args)
    return 0
