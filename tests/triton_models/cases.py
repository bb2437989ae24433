"""Small questions with passages, and what a right answer says.

The thresholds of extract.py were set on DEVELOPMENT. HELD_OUT was written before the first run on it and never tuned
on. RELATED_BUT_NOT_ANSWERED came with it: similarity cannot tell those apart from what is answered.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """`want`: number of the passage that answers, and a word that the answer must hold; null: there is no answer."""

    question: str
    passages: list[str]
    want: tuple[int, str] | None


HR = [
    (
        "Employees accrue 25 days of paid vacation per year. "
        "Unused days carry over until the end of March. "
        "Requests go to the line manager at least two weeks ahead."
    ),
    "Remote work is allowed up to three days per week. The office is closed on public holidays.",
    "Travel expenses are reimbursed within ten working days after the receipts are submitted in the portal.",
]

IT = [
    (
        "To reset a password, open the self-service page and choose Forgot password. "
        "A link is sent to the registered phone. "
        "The link expires after 30 minutes."
    ),
    "The VPN client must be version 5.2 or later. Older clients are rejected with error 809.",
    "Backups run every night at 02:00 and are kept for 35 days. Restores are requested through the service desk.",
]

PUMP = [
    "The bearing of pump P-101 must be greased every 2,000 operating hours. Use lithium grease NLGI 2.",
    "Vibration above 7.1 mm/s RMS triggers an automatic shutdown. The alarm threshold is 4.5 mm/s.",
    (
        "Cavitation shows as a rattling noise and falling discharge pressure. "
        "It is usually caused by a blocked suction strainer."
    ),
]

LEGAL = [
    (
        "Either party may terminate this agreement with 90 days written notice. "
        "Termination for cause takes effect at once."
    ),
    (
        "The supplier's liability is limited to the fees paid in the preceding twelve months. "
        "This limit does not apply to gross negligence."
    ),
    "This agreement is governed by the laws of Denmark. Disputes are settled by arbitration in Copenhagen.",
]

CLINIC = [
    "Take one tablet twice a day with food. Do not drive if you feel dizzy.",
    "Store the medicine below 25 degrees in its original packaging. Keep it out of reach of children.",
    "If you miss a dose, skip it and take the next one at the usual time. Never take a double dose.",
]

SHOP = [
    "Orders placed before 14:00 ship the same day. Delivery within the country takes two to three business days.",
    "Items can be returned within 30 days in unused condition. The refund goes to the original payment method.",
    "Gift cards are valid for five years and cannot be exchanged for cash.",
]

DEVELOPMENT = [
    Case("How many vacation days do I get?", HR, (1, "25")),
    Case("When do I get my travel money back?", HR, (3, "ten")),
    Case("Can I work from home?", HR, (2, "three")),
    Case("How long is the password link valid?", IT, (1, "30")),
    Case("Why does the VPN show error 809?", IT, (2, "809")),
    Case("How long do we keep backups?", IT, (3, "35")),
    Case("What causes cavitation?", PUMP, (3, "strainer")),
    Case("At which vibration does the pump shut down?", PUMP, (2, "7.1")),
    Case("How do we end the contract?", LEGAL, (1, "90")),
    Case("Which law applies to the contract?", LEGAL, (3, "Denmark")),
    Case("What is the capital of Australia?", HR, None),
    Case("Who won the world cup in 2018?", LEGAL, None),
    Case("What is the price of the premium plan?", IT, None),
    Case("How do I configure the coffee machine?", PUMP, None),
]

HELD_OUT = [
    Case("What should I do when I forgot to take my pill?", CLINIC, (3, "skip")),
    Case("At what temperature must the drug be kept?", CLINIC, (2, "25")),
    Case("How often do I take it?", CLINIC, (1, "twice")),
    Case("May I send back something I bought?", SHOP, (2, "30")),
    Case("How fast will my parcel arrive?", SHOP, (1, "two to three")),
    Case("Do gift vouchers expire?", SHOP, (3, "five")),
    Case("How frequently does the bearing need grease?", PUMP, (1, "2,000")),
    Case("Where are disagreements resolved?", LEGAL, (3, "Copenhagen")),
    Case("Who invented the telephone?", SHOP, None),
    Case("How do I bake sourdough bread?", LEGAL, None),
]

RELATED_BUT_NOT_ANSWERED = [
    Case("What are the side effects of the medicine for children?", CLINIC, None),
    Case("How much does express delivery cost?", SHOP, None),
    Case("How long is the warranty on pump P-101?", PUMP, None),
    Case("What is the notice period for a change of the fees?", LEGAL, None),
]
