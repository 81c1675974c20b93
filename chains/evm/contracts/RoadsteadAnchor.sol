// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

/// @title Checkpoints of Merkle logs, written once
/// @notice Anybody may record the hash of a log's checkpoint. Records belong to their sender, so
/// nobody can occupy a place in another's log, and there is no owner and no way to change a record.
/// @dev A reader must know the sender that it trusts: a record says only that this sender wrote
/// this hash at this size, no later than its block.
contract RoadsteadAnchor {
    /// @notice What `sender` recorded for the log `origin` at `size` leaves; zero if nothing.
    mapping(address sender => mapping(bytes32 origin => mapping(uint64 size => bytes32 checkpoint)))
        public checkpoints;

    /// @notice `sender` recorded `checkpoint` for the log `origin` at `size` leaves, now or before.
    event Anchored(
        address indexed sender,
        bytes32 indexed origin,
        uint64 indexed size,
        bytes32 checkpoint
    );

    /// @notice The sender recorded another checkpoint for this log and size before.
    error OtherCheckpoint(bytes32 recorded);

    /// @notice The zero hash stands for "nothing recorded" and cannot be recorded.
    error ZeroCheckpoint();

    /// @notice Records a checkpoint. The same again changes nothing and succeeds, with its own event;
    /// another one at the same size is refused.
    /// @param origin SHA-256 of the log's origin line.
    /// @param size The number of leaves.
    /// @param checkpoint SHA-256 of the checkpoint's note text.
    function anchor(bytes32 origin, uint64 size, bytes32 checkpoint) external {
        if (checkpoint == bytes32(0)) revert ZeroCheckpoint();
        bytes32 recorded = checkpoints[msg.sender][origin][size];
        if (recorded == bytes32(0)) {
            checkpoints[msg.sender][origin][size] = checkpoint;
        } else if (recorded != checkpoint) {
            revert OtherCheckpoint(recorded);
        }
        emit Anchored(msg.sender, origin, size, checkpoint);
    }
}
