"""How many outputs an input asks for, whatever name a model has for that. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from phoenix_compat.tasks.model.errors import InvalidInputError
from phoenix_compat.tasks.model.inputs.named_inputs import named_inputs, number_in

_THINGS: Final = (
    "(?:outputs?|images?|imgs?|pictures?|photos?|videos?|clips?|audios?|songs?|samples?|batch(?:es)?"
    "|generations?|variations?|variants?|results?|candidates?|completions?|predictions?|copies)"
)
_COUNT_NAME: Final = re.compile(
    # num_outputs, number_of_images, max_images, n_samples, num_images_per_prompt
    f"(?:n|num|number|nr|numof|numberof|nrof|max|maxnum|maxnumber|maxnumberof|total|totalnum|count"
    f"|countof|amountof){_THINGS}(?:per[a-z]+)?"
    # sample_count, image_num
    f"|{_THINGS}(?:count|num|number|quantity)"
    # images_per_prompt
    f"|{_THINGS}per[a-z]+"
    # names of their own
    "|n|niter|count|quantity|copies|batch|batchsize|bestof|bsz"
    "|outputs|images|pictures|photos|videos|samples|generations|variations|candidates|completions"
)


def outputs_asked(provider_input: Mapping[str, object]) -> int:
    """The product of all numbers of outputs in an input; 1 when there is none."""
    product = 1
    for _, name, value in named_inputs(provider_input):
        if isinstance(value, int) and not isinstance(value, bool) and is_count(name):
            product *= max(value, 1)
    return product


def check_outputs(provider_input: Mapping[str, object], limit: int) -> None:
    """Check that an input asks for at most so many outputs.

    A number that is not a whole number, or that is written as a text, is refused too: models may
    read it in another way than this server counts it.

    Raises:
        InvalidInputError: its field is the path within the input.
    """
    product = 1
    for path, name, value in named_inputs(provider_input):
        number = number_in(value) if is_count(name) else None
        if number is None:
            continue
        if not isinstance(value, int) or not 1 <= value <= limit:
            raise InvalidInputError(path, f"must be a whole number from 1 to {limit}")
        product *= value
        if product > limit:
            reason = f"asks for {product} outputs together with other inputs; allowed are {limit}"
            raise InvalidInputError(path, reason)


@lru_cache(maxsize=1_024)
def is_count(name: str) -> bool:
    """Whether a plain name is one of a number of outputs."""
    return _COUNT_NAME.fullmatch(name) is not None
