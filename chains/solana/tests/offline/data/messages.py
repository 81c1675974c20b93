"""Makes messages.json: the four messages by another implementation.

    pip install solana==0.41.0 solders==0.29.0 && python messages.py > messages.json

Wallet n is the Ed25519 key whose seed is 32 times the byte n, as in common.rs.
"""

import json

from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import (
    AdvanceNonceAccountParams,
    CreateAccountWithSeedParams,
    InitializeNonceAccountParams,
    TransferParams,
    advance_nonce_account,
    create_account_with_seed,
    initialize_nonce_account,
    transfer,
)
from spl.token.constants import TOKEN_PROGRAM_ID
from spl.token.instructions import (
    create_idempotent_associated_token_account,
    get_associated_token_address,
    transfer_checked,
)
from spl.token.models import TransferCheckedParams

SYSTEM = Pubkey.from_string("1" * 32)
MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
MINT = Pubkey.from_string("EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v")


def wallet(n):
    return Keypair.from_seed(bytes([n]) * 32).pubkey()


def nonce(number):
    return Pubkey.create_with_seed(wallet(1), f"roadstead-nonce-{number}", SYSTEM)


def message(instructions, blockhash):
    blockhash = Hash.from_bytes(bytes(wallet(blockhash)))
    return bytes(Message.new_with_blockhash(instructions, wallet(1), blockhash)).hex()


budget = [set_compute_unit_limit(120_000), set_compute_unit_price(10_000)]
advance = AdvanceNonceAccountParams(nonce_pubkey=nonce(0), authorized_pubkey=wallet(1))
durable = [advance_nonce_account(advance)] + budget
pay = TransferParams(from_pubkey=wallet(2), to_pubkey=wallet(9), lamports=1_000_000)
token = TransferCheckedParams(
    program_id=TOKEN_PROGRAM_ID,
    source=get_associated_token_address(wallet(2), MINT),
    mint=MINT,
    dest=get_associated_token_address(wallet(9), MINT),
    owner=wallet(2),
    amount=5,
    decimals=6,
)
memo = f"roadstead:1:{'03' * 32}:41:{'09' * 32}".encode()
create = CreateAccountWithSeedParams(
    from_pubkey=wallet(1),
    to_pubkey=nonce(4),
    base=wallet(1),
    seed="roadstead-nonce-4",
    lamports=2_039_280,
    space=80,
    owner=SYSTEM,
)
initialize = InitializeNonceAccountParams(nonce_pubkey=nonce(4), authority=wallet(1))
vectors = {
    "wallet_9": str(wallet(9)),
    "nonce_0_of_wallet_1": str(nonce(0)),
    "token_account_of_wallet_9": str(get_associated_token_address(wallet(9), MINT)),
    "transfer": message(durable + [transfer(pay)], 77),
    "token": message(
        durable
        + [
            create_idempotent_associated_token_account(wallet(1), wallet(9), MINT),
            transfer_checked(token),
        ],
        77,
    ),
    "anchor": message(durable + [Instruction(MEMO, memo, [AccountMeta(wallet(1), True, False)])], 77),
    "nonce": message(
        budget + [create_account_with_seed(create), initialize_nonce_account(initialize)], 78
    ),
}
print(json.dumps(vectors, indent=1))
