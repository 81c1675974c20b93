// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

// Tokens that break what a careless reader of ERC-20 believes. For tests alone; anybody may mint.

abstract contract Balances {
    mapping(address owner => uint256) public balanceOf;

    event Transfer(address indexed from, address indexed to, uint256 value);

    function mint(address to, uint256 value) external {
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }
}

/// @notice Keeps a tenth of each transfer, and its event names the whole.
contract FeeOnTransferToken is Balances {
    function transfer(address to, uint256 value) external returns (bool) {
        balanceOf[msg.sender] -= value;
        balanceOf[to] += value - value / 10;
        emit Transfer(msg.sender, to, value);
        return true;
    }
}

/// @notice Returns nothing, as Tether's contract on Ethereum.
contract NoReturnToken is Balances {
    function transfer(address to, uint256 value) external {
        balanceOf[msg.sender] -= value;
        balanceOf[to] += value;
        emit Transfer(msg.sender, to, value);
    }
}

/// @notice Returns false and moves nothing, but emits the event as if it had.
contract ReturnFalseToken is Balances {
    function transfer(address to, uint256 value) external returns (bool) {
        emit Transfer(msg.sender, to, value);
        return false;
    }
}

/// @notice Emits whatever event it is asked for.
contract SpoofToken is Balances {
    function spoof(address from, address to, uint256 value) external {
        emit Transfer(from, to, value);
    }

    /// @notice Two events for one movement.
    function transferTwice(address to, uint256 value) external {
        balanceOf[msg.sender] -= value;
        balanceOf[to] += value;
        emit Transfer(msg.sender, to, value);
        emit Transfer(msg.sender, to, value);
    }
}
