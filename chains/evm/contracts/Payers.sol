// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title Contracts that pay native coin from inside; for tests alone
contract Payer {
    error Refused();

    /// @notice Passes the value on, half each to two addresses.
    function split(address payable first, address payable second) external payable {
        _pay(first, msg.value / 2);
        _pay(second, msg.value - msg.value / 2);
    }

    /// @notice Pays, then reverts everything.
    function payAndRevert(address payable to) external payable {
        _pay(to, msg.value);
        revert Refused();
    }

    /// @notice Pays in an inner call that reverts, and succeeds itself.
    function payAndCatch(address payable to) external payable {
        try this.payAndRevert{value: msg.value}(to) {} catch {}
    }

    /// @notice Pays from the innermost of `depth` nested calls.
    function payFromBelow(address payable to, uint256 depth) external payable {
        if (depth == 0) _pay(to, msg.value);
        else this.payFromBelow{value: msg.value}(to, depth - 1);
    }

    /// @notice Pays by destroying a contract that holds the value.
    function payByDestruction(address payable to) external payable {
        new Doomed{value: msg.value}(to);
    }

    function _pay(address payable to, uint256 value) private {
        (bool paid, ) = to.call{value: value}("");
        if (!paid) revert Refused();
    }
}

contract Doomed {
    constructor(address payable to) payable {
        selfdestruct(to);
    }
}
