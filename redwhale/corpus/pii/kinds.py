"""The kinds of personal data and the words that stand in their place."""

from __future__ import annotations

from typing import get_args

from redwhale.core.recipe.pii import PiiKind

KINDS: tuple[str, ...] = (*get_args(PiiKind), "address")
"""Kinds in the order of the columns of ``Masked.counts``."""

PLACEHOLDERS: dict[str, str] = {
    "resident": "[주민등록번호]",
    "phone": "[전화번호]",
    "email": "[이메일]",
    "card": "[카드번호]",
    "account": "[계좌번호]",
    "business": "[사업자등록번호]",
    "passport": "[여권번호]",
    "licence": "[운전면허번호]",
    "plate": "[차량번호]",
    "ip": "[IP주소]",
    "address": "[상세주소]",
}
"""What replaces each kind: plain text, to be left out wherever tokens are learnt or words counted."""
