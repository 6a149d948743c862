package lineage

import "testing"

func TestMountType(t *testing.T) {
	const mounts = `22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
36 22 0:33 / /mnt/far rw,nosuid shared:18 - fuse.sshfs user@host:/home rw,user_id=0
37 22 0:34 /sub /mnt/near rw - fuse.bindfs near rw
broken line
`
	for device, want := range map[string]string{"254:0": "ext4", "0:33": "fuse.sshfs", "0:34": "fuse.bindfs", "9:9": ""} {
		if got := mountType(mounts, device); got != want {
			t.Errorf("device %s is %q, want %q", device, got, want)
		}
	}
	if networkFUSE["fuse.sshfs"] == "" || networkFUSE["fuse.bindfs"] != "" {
		t.Error("sshfs is a network file system and bindfs is not")
	}
}

func TestDeviceName(t *testing.T) {
	for dev, want := range map[uint64]string{0xfe00: "254:0", 0x21: "0:33", 0x100000 | 0x801: "8:257"} {
		if got := deviceName(dev); got != want {
			t.Errorf("device %#x is %s, want %s", dev, got, want)
		}
	}
}

func TestLocalDirectoryIsLocal(t *testing.T) {
	if name := networkFileSystem(t.TempDir()); name != "" {
		t.Skipf("the temporary directory lies on %s", name)
	}
	if name := networkFileSystem("/proc"); name != "" {
		t.Errorf("/proc is %s", name)
	}
}
