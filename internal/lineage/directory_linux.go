package lineage

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// networkFileSystems are the magic numbers (statfs(2)) of file systems on which locks and shared
// memory, and so SQLite's write-ahead log, cannot be trusted between machines.
var networkFileSystems = map[int64]string{
	0x6969:     "NFS",
	0x517b:     "SMB",
	0xff534d42: "CIFS",
	0xfe534d42: "SMB2",
	0x5346414f: "AFS",
	0x6b414653: "AFS",
	0x0bd00bd0: "Lustre",
	0x47504653: "GPFS",
	0x19830326: "BeeGFS",
	0x00c36400: "Ceph",
	0x73757245: "Coda",
	0xaad7aaea: "PanFS",
}

// fuseMagic says only that a program serves the file system; the mount table says which.
const fuseMagic = 0x65735546

var networkFUSE = map[string]string{
	"fuse.sshfs":       "SSHFS",
	"fuse.glusterfs":   "GlusterFS",
	"fuse.beegfs":      "BeeGFS",
	"fuse.s3fs":        "S3",
	"fuse.rclone":      "rclone",
	"fuse.ceph":        "Ceph",
	"fuse.ceph-fuse":   "Ceph",
	"fuse.juicefs":     "JuiceFS",
	"fuse.gcsfuse":     "Google Cloud Storage",
	"fuse.davfs":       "WebDAV",
	"fuse.curlftpfs":   "FTP",
	"fuse.moosefs":     "MooseFS",
	"fuse.seaweedfs":   "SeaweedFS",
	"fuse.goofys":      "S3",
	"fuse.blobfuse":    "Azure Blob Storage",
	"fuse.blobfuse2":   "Azure Blob Storage",
	"fuse.mount-s3":    "S3",
	"fuse.lizardfs":    "LizardFS",
	"fuse.objectivefs": "ObjectiveFS",
}

// networkFileSystem names the network file system on which dir lies, or gives "". What cannot be
// found out counts as local: refusing then would lock out hosts that we do not know.
func networkFileSystem(dir string) string {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return ""
	}
	magic := int64(fs.Type) & 0xffffffff
	if magic != fuseMagic {
		return networkFileSystems[magic]
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	var stat syscall.Stat_t
	if err := syscall.Stat(dir, &stat); err != nil {
		return ""
	}
	return networkFUSE[mountType(string(mounts), deviceName(uint64(stat.Dev)))]
}

// deviceName gives a device number as mountinfo does.
func deviceName(dev uint64) string {
	major := dev>>8&0xfff | dev>>32&^0xfff
	minor := dev&0xff | dev>>12&^0xff&0xffffffff
	return fmt.Sprintf("%d:%d", major, minor)
}

// mountType finds the type of the file system with the given device in the text of mountinfo.
func mountType(mountinfo, device string) string {
	lines := bufio.NewScanner(strings.NewReader(mountinfo))
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(before)
		if types := strings.Fields(after); ok && len(fields) > 2 && fields[2] == device && len(types) > 0 {
			return types[0]
		}
	}
	return ""
}
