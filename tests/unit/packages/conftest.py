from tests.support.packages import write_one

__all__ = ["write_one"]
