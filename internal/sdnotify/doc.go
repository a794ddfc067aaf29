// Package sdnotify tells systemd how a service is, as sd_notify(3) does.
package sdnotify
