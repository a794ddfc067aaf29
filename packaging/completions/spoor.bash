# bash completion of spoor: the program itself knows what may follow.
_spoor() {
	local IFS=$'\n'
	COMPREPLY=($("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
	[[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *,* ]] && compopt -o nospace 2>/dev/null
	return 0
}
complete -o default -F _spoor spoor
