"""Where the time of a training step goes: `mt-train --profile`."""
