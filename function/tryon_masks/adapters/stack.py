"""A deployed stack, from outside: where its parts are."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tryon_masks.domain.errors import SettingsError


def stack_outputs(name: str, client: Any) -> dict[str, str]:
    """Return the outputs of the stack ``name`` as CloudFormation knows them.

    Raises
    ------
    SettingsError
        There is no such stack in this account and region, or it cannot be looked at.
    """
    try:
        (stack,) = client.describe_stacks(StackName=name)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        raise SettingsError(f"The stack {name} cannot be looked at: {error}") from error
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
