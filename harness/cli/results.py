"""Where results tables are to be read."""

from harness.cli.options import UserError


def check_results(option: str, location: str) -> None:
    """Make sure that an option names a folder or bucket that exists.

    Raises:
        UserError: it does not.
    """
    from harness.tables.storage import place_of

    if not place_of(location).is_folder:
        raise UserError(f"{option} is {location}, expected a folder with results tables")
