"""What Kennel costs and how good it is. The modules of `ml/` are importable here, as they are in its containers."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "ml"))
