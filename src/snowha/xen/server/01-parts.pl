package main;
# A part is compiled when one of its functions is called first, since a domain is away meanwhile; a package has several parts where a
# start needs one of them.
use strict;

# Stands before each variable: one that a part does not declare would be taken for one that can be seen from here.
sub evaluate { return eval $_[0] }

our ($AUTOLOAD, %PART);    # package => function => text of the part that has it, until that is compiled

# In place of a function of such a part (perlsub(1), Autoloading): its arguments, $@, $! and the caller's matches stay as they are.
sub compile_and_call {
    my $function = $AUTOLOAD;
    my $end = rindex $function, '::';
    my ($package, $name) = (substr($function, 0, $end), substr $function, $end + 2);
    compile_part($package, $PART{$package}{$name} // die "$package has no function $name\n");
    goto &{ \&$function };
}

# Every part of a package.
sub compile {
    my ($package) = @_;
    while (my ($name) = keys %{ $PART{$package} }) { compile_part($package, $PART{$package}{$name}) }
    return;
}

sub compile_part {
    my ($package, $text) = @_;
    my $others = $PART{$package};
    delete @{$others}{ grep { $others->{$_} == $text } keys %$others };
    local ($@, $!);
    no strict 'refs';
    delete ${"${package}::"}{AUTOLOAD} unless %$others;
    return if evaluate("$$text; 1");
    print STDERR $@;
    exit 1;
}

sub later {
    my ($package, $names, $text) = @_;
    $PART{$package}{$_} = \$text for split ' ', $names;
    no strict 'refs';
    *{"${package}::AUTOLOAD"} = \&compile_and_call;
    return;
}

# Numbers of Linux (include/uapi/asm-generic: fcntl.h, errno-base.h, errno.h, socket.h; include/linux: socket.h, net.h; O_DIRECT is that
# of x86). Fcntl, Errno and Socket, which have them, take longer to load than Perl takes to start.
package Snow::Linux;

BEGIN {
    my %NUMBER = (
        O_RDONLY => 0, O_WRONLY => 1, O_RDWR => 2, O_CREAT => 0100, O_EXCL => 0200, O_TRUNC => 01000, O_DIRECT => 040000,
        O_SYNC => 04010000, O_NONBLOCK => 04000,
        F_GETFL => 3, F_SETFL => 4, LOCK_SH => 1, LOCK_EX => 2, LOCK_NB => 4, LOCK_UN => 8,
        ENOENT => 2, EAGAIN => 11, EBUSY => 16, EEXIST => 17, EINVAL => 22, ENOLCK => 37, EOPNOTSUPP => 95,
        AF_UNIX => 1, SOCK_STREAM => 1, SOL_SOCKET => 1, SO_SNDTIMEO => 21,
    );

    sub import {
        my (undef, @names) = @_;
        my $package = caller;
        for (@names) {
            my $number = $NUMBER{$_} // die "Linux has no number $_ here\n";
            no strict 'refs';
            *{"${package}::$_"} = sub () { $number } unless defined &{"${package}::$_"};
        }
        return;
    }
    $INC{'Snow/Linux.pm'} = __FILE__;
}

package main;

CHECK { if ($^C) { compile($_) for sort keys %PART } }    # perl -c
