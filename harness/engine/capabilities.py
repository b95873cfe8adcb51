"""Which Linux capabilities this host can give to containers."""

from __future__ import annotations

from pathlib import Path

# Names by bit number, from include/uapi/linux/capability.h; Linux 5.9 and later knows these 41.
CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip


def missing_capabilities(proc: Path = Path("/proc")) -> tuple[str, ...]:
    """Return the capabilities the kernel knows and this process's bounding set lacks.

    An engine started by this process, and every container of it, is bound by the same set (capabilities(7)). Where
    the result is empty plain runc serves; elsewhere ``--privileged`` needs the OCI runtime wrapper.

    Args:
        proc: where procfs is mounted.
    """
    last = int((proc / "sys/kernel/cap_last_cap").read_text(encoding="ascii"))
    return lacking((proc / "self/status").read_text(encoding="utf-8"), last)


def lacking(status: str, last: int) -> tuple[str, ...]:
    """Return the names of the bits up to `last` that the ``CapBnd`` line of `status` does not set.

    Args:
        status: text of ``/proc/PID/status``.
        last: number of the highest capability the kernel knows.

    Raises:
        ValueError: there is no ``CapBnd`` line.
    """
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name == "CapBnd":
            bounding = int(value, 16)
            return tuple(_name(bit) for bit in range(last + 1) if not bounding >> bit & 1)
    raise ValueError("no CapBnd line in the status of a process")


def _name(bit: int) -> str:
    return CAPABILITIES[bit] if bit < len(CAPABILITIES) else f"capability {bit}"
